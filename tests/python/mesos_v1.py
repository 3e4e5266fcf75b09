"""A framework on the Mesos v1 JSON API with nothing but Python's standard library.

Usage: mesos_v1.py HOST:PORT
Subscribes, launches tasks, acknowledges, kills, reconciles, declines, suppresses, revives and tears
down, checks what the protocol promises at each step, and prints one JSON object. Any broken promise
ends it with status 1 and a sentence.
"""

import base64
import http.client
import json
import sys
import threading
import queue
import time

ADDRESS = sys.argv[1]
TIMEOUT = 30


def check(condition, sentence):
    if not condition:
        print("broken promise: " + sentence, file=sys.stderr)
        sys.exit(1)


def post(body, headers, path="/api/v1/scheduler"):
    connection = http.client.HTTPConnection(ADDRESS, timeout=TIMEOUT)
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    connection.request("POST", path, data, headers)
    answer = connection.getresponse()
    return answer, connection


class Framework:
    """One subscription: events arrive on a queue, calls leave on connections of their own."""

    def __init__(self, info, framework_id=None):
        self.events = queue.Queue()
        self.held = []
        subscribe = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        if framework_id:
            info["id"] = {"value": framework_id}
            subscribe["framework_id"] = {"value": framework_id}
        self.answer, self.connection = post(
            subscribe, {"Content-Type": "application/json", "Accept": "application/json"}
        )
        check(self.answer.status == 200, "SUBSCRIBE answers 200, not %d" % self.answer.status)
        check(
            self.answer.getheader("Transfer-Encoding") == "chunked", "the event stream is chunked"
        )
        self.stream_id = self.answer.getheader("Mesos-Stream-Id")
        check(self.stream_id, "SUBSCRIBE answers with a Mesos-Stream-Id")
        threading.Thread(target=self._read, daemon=True).start()
        subscribed = self.next("SUBSCRIBED")["subscribed"]
        self.id = subscribed["framework_id"]["value"]
        check(subscribed["heartbeat_interval_seconds"] > 0, "SUBSCRIBED names the heartbeat")
        self.next("HEARTBEAT")

    def _read(self):
        try:
            while True:
                digits = b""
                while not digits.endswith(b"\n"):
                    byte = self.answer.read(1)
                    if not byte:
                        self.events.put({"type": "CLOSED"})
                        return
                    digits += byte
                record = self.answer.read(int(digits))
                check(all(b < 128 for b in record), "records are pure ASCII")
                check(b"\n" not in record, "records are one line")
                self.events.put(json.loads(record))
        except (OSError, ValueError, http.client.HTTPException):
            self.events.put({"type": "CLOSED"})

    def next(self, kind, wanted=lambda event: True):
        """The next event of a kind; passes over others, and acknowledges every update, because the
        next one of a task comes only then. Bounded."""
        deadline = time.monotonic() + TIMEOUT
        seen = []
        while True:
            try:
                event = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                check(False, "%s arrives within %d s; came: %s" % (kind, TIMEOUT, seen))
            seen.append(event["type"])
            if event["type"] == "UPDATE":
                self.acknowledge(event["update"]["status"])
            elif event["type"] == "OFFERS":
                self.held.extend(event["offers"]["offers"])
            elif event["type"] == "RESCIND":
                gone = event["rescind"]["offer_id"]
                self.held = [offer for offer in self.held if offer["id"] != gone]
            if event["type"] == kind and wanted(event):
                return event
            check(event["type"] != "CLOSED", "the stream stays open while waiting for " + kind)

    def call(self, kind, status=202, stream_id=None, **fields):
        body = {"type": kind, "framework_id": {"value": self.id}}
        body.update(fields)
        answer, connection = post(
            body,
            {
                "Content-Type": "application/json",
                "Mesos-Stream-Id": stream_id or self.stream_id,
            },
        )
        text = answer.read().decode()
        connection.close()
        check(
            answer.status == status,
            "%s answers %d, not %d: %s" % (kind, status, answer.status, text),
        )
        return text

    def status_of(self, task_id, state):
        event = self.next(
            "UPDATE",
            lambda e: e["update"]["status"]["task_id"]["value"] == task_id
            and e["update"]["status"]["state"] == state,
        )
        return event["update"]["status"]

    def acknowledge(self, status):
        if "uuid" not in status:
            return
        check(len(base64.b64decode(status["uuid"])) == 16, "a status uuid has 16 bytes")
        names = ("agent_id", "task_id", "uuid")
        self.call("ACKNOWLEDGE", acknowledge={name: status[name] for name in names})

    def offer(self):
        """An offer that is held, or the next one. What is held is not offered again."""
        if not self.held:
            self.next("OFFERS")
        return self.held.pop()

    def launch(self, offer, *tasks):
        self.call(
            "ACCEPT",
            accept={
                "offer_ids": [offer["id"]],
                "operations": [{"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}],
                "filters": {"refuse_seconds": 0},
            },
        )


def task(offer, task_id, command, cpus=0.1, mem=32):
    return {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}},
        ],
        "command": {"value": command},
    }


def main():
    info = {
        "user": "root",
        "name": "python standard library",
        "failover_timeout": 60.0,
        "roles": ["python"],
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
    }
    framework = Framework(dict(info))

    # Run to the end, with and without success.
    offer = framework.offer()
    check(offer["allocation_info"]["role"] == "python", "an offer names its role")
    framework.launch(offer, task(offer, "ends-well", "exit 0"), task(offer, "ends-badly", "exit 3"))
    framework.status_of("ends-well", "TASK_FINISHED")
    failed = framework.status_of("ends-badly", "TASK_FAILED")

    # An offer can be used once.
    framework.launch(offer, task(offer, "too-late", "exit 0"))
    dropped = framework.status_of("too-late", "TASK_DROPPED")
    check(dropped["reason"] == "REASON_INVALID_OFFERS", "a used offer is invalid")
    check("uuid" not in dropped, "the master's own updates need no acknowledgement")

    # More than the agent has.
    framework.call("REVIVE")
    offer = framework.offer()
    framework.launch(offer, task(offer, "too-big", "exit 0", cpus=100000))
    refused = framework.status_of("too-big", "TASK_ERROR")
    check(refused["reason"] == "REASON_TASK_INVALID", "an impossible task is invalid")

    # Kill, and reconcile before and after.
    framework.call("REVIVE")
    offer = framework.offer()
    framework.launch(offer, task(offer, "sleeper", "sleep 1000"))
    framework.status_of("sleeper", "TASK_RUNNING")
    framework.call("RECONCILE", reconcile={"tasks": [{"task_id": {"value": "sleeper"}}]})
    known = framework.status_of("sleeper", "TASK_RUNNING")
    check(known["reason"] == "REASON_RECONCILIATION", "reconciliation answers say so")
    framework.call("RECONCILE", reconcile={"tasks": []})
    framework.status_of("sleeper", "TASK_RUNNING")
    framework.call("KILL", kill={"task_id": {"value": "sleeper"}})
    framework.status_of("sleeper", "TASK_KILLED")
    framework.call(
        "RECONCILE",
        reconcile={"tasks": [{"task_id": {"value": "never"}, "agent_id": {"value": "nowhere"}}]},
    )
    framework.status_of("never", "TASK_UNKNOWN")

    # Suppress: nothing comes; revive: something comes.
    framework.call("SUPPRESS")
    framework.call("REVIVE")
    offer = framework.offer()
    framework.held.append(offer)
    for offer in framework.held:
        framework.call(
            "DECLINE", decline={"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0.05}}
        )
    framework.held = []
    framework.offer()

    # Wrong calls change nothing and say what is wrong.
    framework.call("REVIVE", status=400, stream_id="00000000-0000-0000-0000-000000000000")
    answer, _ = post("{", {"Content-Type": "application/json"})
    check(answer.status == 400, "malformed JSON answers 400, not %d" % answer.status)
    answer, _ = post("{}", {"Content-Type": "text/plain"})
    check(answer.status == 415, "an unknown content type answers 415, not %d" % answer.status)

    # Failover: the same id on a new stream; the old one is told and closed.
    successor = Framework(dict(info), framework.id)
    check(successor.id == framework.id, "a resubscription keeps the id")
    error = framework.next("ERROR")
    check("failed over" in error["error"]["message"], "the old stream is told why")
    successor.offer()
    successor.call("TEARDOWN")

    print(
        json.dumps(
            {
                "framework_id": framework.id,
                "failed_message": failed.get("message"),
                "ok": True,
            }
        )
    )


main()
