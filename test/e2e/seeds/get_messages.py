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

url = f'{base_url}/pubsub/messages/get'

response = requests.post(url, auth=auth)
result = response.json()

logger.info('Response: %s', result)

message_count = result['message_count']
messages = result['messages']

suffix = 'message' if message_count == 1 else 'messages'
logger.info('Retrieved %s %s', message_count, suffix)

for message in messages:

    meta = message['meta']
    data = message['data']

    topic_name = meta['topic_name']
    priority = meta['priority']

    logger.info('Topic: %s', topic_name)
    logger.info('Data: %s', data)
    logger.info('Priority: %s', priority)
    logger.info('---')
