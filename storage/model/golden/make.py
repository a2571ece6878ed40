"""Writes the batches of foreign encoders; see README.md. Takes the folder to write to."""

import asyncio  # noqa: F401  (aiokafka expects an importable event loop)
import pathlib
import sys

from aiokafka.record.default_records import DefaultRecordBatchBuilder as AioBuilder
from kafka.record.default_records import DefaultRecordBatchBuilder as KafkaPythonBuilder

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
CARRIERS = ["UA", "AA", "B6", "DL"]


def records():
    yield 1700000000000, b"k0", b"v0", []
    yield 1700000000005, None, b"", [("a", b"1"), ("a", None), ("\u00e4", b"")]
    yield 1699999999990, b"", None, []
    for i in range(3, 40):
        value = b'{"flight":%d,"carrier":"%s"}' % (i, CARRIERS[i % 4].encode())
        yield 1700000000000 + i * 17, b"N%dSW" % i, value * 4, [("trace", bytes([i]))] if i % 5 == 0 else []


def build(builder):
    for offset, (timestamp, key, value, headers) in enumerate(records()):
        assert builder.append(offset, timestamp, key, value, headers)
    return bytes(builder.build())


folder = pathlib.Path(sys.argv[1])
for number, codec in enumerate(CODECS):
    fields = dict(
        compression_type=number,
        is_transactional=False,
        producer_id=4711,
        producer_epoch=3,
        base_sequence=12,
        batch_size=1 << 20,
    )
    (folder / f"kafka-python-{codec}.batch").write_bytes(build(KafkaPythonBuilder(magic=2, **fields)))
    (folder / f"aiokafka-{codec}.batch").write_bytes(build(AioBuilder(magic=2, **fields)))
