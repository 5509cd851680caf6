"""conformance.json, by both Python clients. The Swift client runs the same file (Tests/NubClientTests)."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

import ssz
import wire
from conftest import ENGINE

sys.path.insert(0, str(Path(__file__).parents[2] / "clients/python/src"))
nub_client = pytest.importorskip("nub_client")

CASES = json.loads((Path(__file__).parent / "conformance.json").read_text())["cases"]


class Blocking:
    """The blocking client behind the asynchronous one's face, so that one runner serves both."""

    def __init__(self, endpoint):
        self.client = nub_client.Client(endpoint)

    def __getattr__(self, name):
        method = getattr(self.client, name)

        async def call(*arguments, **options):
            return method(*arguments, **options)

        return call

    async def close(self):
        self.client.close()


class Runner:
    def __init__(self, client):
        self.client = client
        self.unique: dict[str, bytes] = {}

    def bytes(self, value) -> bytes:
        if isinstance(value, str):
            return value.encode()
        if "repeat" in value:
            return value["repeat"].encode() * value["count"]
        (name, inner), = value.items()
        match name:
            case "hex":
                return bytes.fromhex(inner)
            case "u32":
                return wire.u32(inner)
            case "u64":
                return wire.u64(inner)
            case "unique":
                return self.unique.setdefault(inner, wire.new_id())
            case "concat":
                return b"".join(map(self.bytes, inner))
            case "sha256":
                return ssz.sha256(self.bytes(inner))
            case "form":
                return ssz.data_wire(self.bytes(inner))
            case "root":
                return ssz.data_root(self.bytes(inner))
        raise KeyError(name)

    async def step(self, step):
        client = self.client
        match step["op"]:
            case "ping":
                return await client.ping()
            case "hash":
                return nub_client.data_hash(self.bytes(step["content"]))
            case "put":
                return await client.put(self.bytes(step["content"]))
            case "put_many":
                return await client.put_many(map(self.bytes, step["contents"]))
            case "put_form":
                return await client.put_form(self.bytes(step["form"]), self.bytes(step.get("hash", "")))
            case "find_missing" if "count" in step:
                return await client.find_missing([ssz.sha256(wire.u64(i)) for i in range(step["count"])])
            case "find_missing":
                return await client.find_missing(map(self.bytes, step["hashes"]))
            case "get_cap":
                return await client.get_cap(self.bytes(step["hash"]))
            case "result":
                return await client.result(self.bytes(step["id"]))
            case "cancel":
                return await client.cancel(self.bytes(step["id"]))
            case "call_many":
                count = step["count"]
                requests = [nub_client.CallRequest(step["function"], b"%d" % i) for i in range(count)]
                results = await client.call_many(requests)
                assert [result.body for result in results] == [b"%d" % i for i in range(count)]
                return results
            case "call":
                options = {name: step[name] for name in ("tenant", "priority", "fresh", "traceparent") if name in step}
                if "id" in step:
                    options["id"] = self.bytes(step["id"])
                if "caps" in step:
                    options["caps"] = [self.bytes(cap) for cap in step["caps"]]
                if "need" in step:
                    options["need"] = [self.bytes(hash) for hash in step["need"]]
                if "deadline_ms" in step:
                    options["deadline"] = step["deadline_ms"] / 1000
                if "expires_at_ms" in step:
                    options["expires_at"] = step["expires_at_ms"] / 1000
                return await client.call(step["function"], self.bytes(step["payload"]), **options)
        raise KeyError(step["op"])

    async def run(self, case):
        for step in case["steps"]:
            expect = step["expect"]
            if "error" in expect:
                with pytest.raises(nub_client.JobError) as caught:
                    await self.step(step)
                error = caught.value
                assert error.status == expect["error"], error
                if "guest_status" in expect:
                    assert error.guest_status == expect["guest_status"]
                if "message" in expect:
                    assert expect["message"] in error.message
                if "missing" in expect:
                    assert error.hashes == [self.bytes(hash) for hash in expect["missing"]]
                continue
            value = await self.step(step)
            if isinstance(value, nub_client.PutResult):
                if "stored" in expect:
                    assert value.stored == expect["stored"]
                value = value.hash
            if isinstance(value, nub_client.Result):
                if "duplicate" in expect:
                    assert value.duplicate == expect["duplicate"]
                value = value.body
            if "value" in expect:
                assert value == self.bytes(expect["value"])
            if "count" in expect:
                assert len(value) == expect["count"]
            if "values" in expect:
                values = [item.hash if isinstance(item, nub_client.PutResult) else item for item in value]
                assert values == [self.bytes(item) for item in expect["values"]]
            if "functions" in expect:
                assert value["engine"] == ENGINE
                assert all(f'"{name}"' in json.dumps(value["functions"]) for name in expect["functions"])


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_conformance(worker, case, kind):
    if case.get("only", ENGINE) != ENGINE:
        pytest.skip(f"needs the {case['only']} engine")

    async def run():
        client = Blocking(worker.serve) if kind == "blocking" else nub_client.AsyncClient(worker.serve)
        try:
            await Runner(client).run(case)
        finally:
            await client.close()

    asyncio.run(run())
