# -*- coding: utf-8 -*-

# stdlib
import logging
from logging import getLogger, INFO

# requests
import requests

logging.basicConfig(level=INFO, format='%(asctime)s - %(message)s', datefmt='%Y-%m-%d %H:%M:%S')
logger = getLogger(__name__)

base_url = 'http://localhost:11223'
username = 'user.1'
password = 'password.1'
auth = (username, password)

topic_name = 'demo.1'

url = f'{base_url}/pubsub/topic/{topic_name}'
request = {
    'data': {
        'order_id': 12345,
        'status': 'completed'
    }
}

response = requests.post(url, json=request, auth=auth)
result = response.json()

logger.info('Response: %s', result)

is_ok = result['is_ok']
msg_id = result['msg_id']

logger.info('Published: %s', is_ok)
logger.info('Message ID: %s', msg_id)
