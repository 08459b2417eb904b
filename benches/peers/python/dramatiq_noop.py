"""A Dramatiq actor that does nothing, with confirmed publishing; run as a program it fills."""

import os
import sys

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

import counts

dramatiq.set_broker(RabbitmqBroker(url=os.environ["PEERS_URL"], confirm_delivery=True))


@dramatiq.actor(queue_name=os.environ["PEERS_QUEUE"])
def noop(_body):
    counts.add()


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        noop.send(counts.BODY)
