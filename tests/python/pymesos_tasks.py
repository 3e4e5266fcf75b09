"""Launches N tasks with an unchanged pymesos and waits until N have finished.

Usage: pymesos_tasks.py HOST:PORT N
Prints one JSON object: tasks, finished, seconds from start() to the last TASK_FINISHED.
"""

import json
import sys
import threading
import time

from pymesos import MesosSchedulerDriver, Scheduler

ADDRESS, COUNT = sys.argv[1], int(sys.argv[2])
LIMIT_SECONDS = 120


class Tasks(Scheduler):
    def __init__(self):
        self.launched = 0
        self.finished = set()
        self.other = {}
        self.done = threading.Event()

    def resourceOffers(self, driver, offers):
        for offer in offers:
            cpus = sum(r["scalar"]["value"] for r in offer["resources"] if r["name"] == "cpus")
            mem = sum(r["scalar"]["value"] for r in offer["resources"] if r["name"] == "mem")
            tasks = []
            while self.launched < COUNT and cpus >= 0.1 and mem >= 16:
                cpus -= 0.1
                mem -= 16
                tasks.append(
                    {
                        "task_id": {"value": "task-%d" % self.launched},
                        "agent_id": offer["agent_id"],
                        "name": "task-%d" % self.launched,
                        "command": {"value": "exit 0"},
                        "resources": [
                            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                            {"name": "mem", "type": "SCALAR", "scalar": {"value": 16}},
                        ],
                    }
                )
                self.launched += 1
            driver.launchTasks(offer["id"], tasks, {"refuse_seconds": 0.05})

    def statusUpdate(self, driver, update):
        task, state = update["task_id"]["value"], update["state"]
        if state == "TASK_FINISHED":
            self.finished.add(task)
        elif state not in ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"):
            self.other[task] = "%s: %s" % (state, update.get("message"))
        if len(self.finished) + len(self.other) >= COUNT:
            self.done.set()


def main():
    scheduler = Tasks()
    framework = {"user": "root", "name": "pymesos", "hostname": "localhost"}
    driver = MesosSchedulerDriver(scheduler, framework, ADDRESS)
    start = time.monotonic()
    thread = threading.Thread(target=driver.run, daemon=True)
    thread.start()
    in_time = scheduler.done.wait(LIMIT_SECONDS)
    seconds = time.monotonic() - start
    driver.stop()
    thread.join(10)
    print(
        json.dumps(
            {
                "tasks": COUNT,
                "finished": len(scheduler.finished),
                "other": scheduler.other,
                "seconds": round(seconds, 3),
            }
        )
    )
    sys.exit(0 if in_time and len(scheduler.finished) == COUNT else 1)


main()
