"""A Celery task that does nothing: acks late, confirmed publishing; run as a program it fills."""

import os
import sys

import celery

import counts

app = celery.Celery("noop", broker=os.environ["PEERS_URL"].replace("/%2f", "//"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_default_queue=os.environ["PEERS_QUEUE"],
    task_ignore_result=True,
    worker_prefetch_multiplier=32,
)


@app.task(name="noop")
def noop(_body):
    counts.add()


if __name__ == "__main__":
    with app.producer_or_acquire() as producer:
        for _ in range(int(sys.argv[1])):
            noop.apply_async((counts.BODY,), producer=producer)
