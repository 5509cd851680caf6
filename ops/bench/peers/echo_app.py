"""The Celery application of the comparison: a task that gives its payload back."""

import os

from celery import Celery

url = os.environ["PEER_REDIS"]
app = Celery("echo_app", broker=url, backend=url)
# The settings that Celery's own guide to optimising recommends for many short tasks.
app.conf.update(
    worker_prefetch_multiplier=64,
    task_acks_late=False,
    task_serializer="json",
    result_serializer="json",
    result_expires=3600,
    broker_connection_retry_on_startup=True,
)


@app.task
def echo(payload: str) -> str:
    return payload
