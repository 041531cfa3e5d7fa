# -*- coding: utf-8 -*-

# stdlib
import logging
from logging import getLogger, INFO
from time import sleep

# requests
import requests

logging.basicConfig(level=INFO, format='%(asctime)s - %(message)s', datefmt='%Y-%m-%d %H:%M:%S')
logger = getLogger(__name__)

base_url = 'http://localhost:11223'
username = 'user.1'
password = 'password.1'
auth = (username, password)

topic_name = 'demo.1'

# Publish a message
publish_url = f'{base_url}/pubsub/topic/{topic_name}'
request = {
    'data': {
        'order_id': 12345,
        'status': 'completed'
    }
}

response = requests.post(publish_url, json=request, auth=auth)
result = response.json()

logger.info('Response: %s', result)

msg_id = result['msg_id']
logger.info('Published: %s', msg_id)

# Wait a moment for message to be routed
sleep(0.5)

# Get messages
get_url = f'{base_url}/pubsub/messages/get'

response = requests.post(get_url, auth=auth)
result = response.json()

logger.info('Response: %s', result)

message_count = result['message_count']
messages = result['messages']

suffix = 'message' if message_count == 1 else 'messages'
logger.info('Retrieved %s %s', message_count, suffix)

for message in messages:
    data = message['data']
    logger.info('Data: %s', data)
