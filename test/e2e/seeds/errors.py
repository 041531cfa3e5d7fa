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

url = f'{base_url}/pubsub/topic/demo.1'
request = {
    'data': 'Order processed'
}

response = requests.post(url, json=request, auth=auth)
result = response.json()

logger.info('Response: %s', result)

is_ok = result['is_ok']

if is_ok:
    msg_id = result['msg_id']
    logger.info('Success: %s', msg_id)
else:
    details = result['details']
    logger.info('Error: %s', details)
