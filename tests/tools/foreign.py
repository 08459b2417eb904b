"""A publisher that knows nothing of Goaround but the names of queues.

Reads one message a line from standard input, as JSON, and writes "ok ID" once the broker has
confirmed it, or "no REASON". A message that was in doubt is not sent again: nobody was promised it.

  {"exchange": "", "key": "q", "id": "...", "type": "...", "headers": {...}, "text": "..."}

`repeat` sends it so many times, `size` pads the body to so many bytes, `hex` is a body that is not
text, `bare` sends no properties at all, `declare` makes a queue with these arguments instead.
A header written as {"!": "timestamp"} and so on has a type that JSON does not have.
"""

import datetime
import decimal
import json
import sys
import time

import pika

STRANGE = {
    "timestamp": datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc),
    "decimal": decimal.Decimal("1.5"),
    "bytes": b"\xff\xfe\x00",
    "none": None,
    "big": 2**62,
}


def header(value):
    if isinstance(value, dict) and "!" in value:
        return STRANGE[value["!"]]
    return value


def connect(url):
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = 5
    parameters.blocked_connection_timeout = 5
    parameters.heartbeat = 10
    parameters.connection_attempts = 60
    parameters.retry_delay = 1
    channel = pika.BlockingConnection(parameters).channel()
    channel.confirm_delivery()
    return channel


def body_of(message):
    if "hex" in message:
        return bytes.fromhex(message["hex"])
    body = message.get("text", "").encode()
    return body + b"x" * (message.get("size", 0) - len(body))


def properties_of(message):
    if message.get("bare"):
        return None
    headers = {name: header(value) for name, value in message.get("headers", {}).items()}
    return pika.BasicProperties(
        message_id=message.get("id"),
        type=message.get("type"),
        headers=headers or None,
        delivery_mode=2,
    )


def carry_out(channel, message):
    if "declare" in message:
        channel.queue_declare(message["key"], durable=True, arguments=message["declare"])
        return
    body, properties = body_of(message), properties_of(message)
    for _ in range(message.get("repeat", 1)):
        channel.basic_publish(message.get("exchange", ""), message["key"], body, properties, True)


def main():
    url = sys.argv[1]
    channel = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if channel is None or not channel.is_open:
                channel = connect(url)
            carry_out(channel, message)
            print("ok", message.get("id", "-"), flush=True)
        except Exception as error:  # Whatever it is: this message is not confirmed.
            print("no", repr(error).replace("\n", " "), flush=True)
            channel = None
            time.sleep(0.1)


main()
