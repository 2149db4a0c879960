"""Drives headless Chromium over its DevTools protocol, through a pair of pipes: no port is open for others to use."""

import fcntl
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No request leaves this machine, whatever the browser would like to fetch for itself.
FLAGS = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--no-proxy-server",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--ignore-certificate-errors",
]
COMMAND_TIMEOUT = 40


def find():
    """The path of an installed Chromium, or None."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, PROGRAMS)), None)


def high(descriptor):
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 20)
    os.close(descriptor)
    return copy


class Failure(Exception):
    """The browser, or a script in it, did not do what was asked."""


class Chromium:
    def __init__(self, program, folder):
        # The sandbox does not work for root. Only pages of these tests are loaded.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        commands, self.commands = os.pipe()
        events, events_end = os.pipe()
        # Above the descriptors 3 and 4, which the protocol uses.
        commands, events_end = high(commands), high(events_end)
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec "$@" 3<&"$0" 4>&"$EVENTS"', str(commands), program, *FLAGS, *sandbox,
             f"--user-data-dir={folder}/profile", "about:blank"],
            env={**os.environ, "EVENTS": str(events_end), "HOME": folder},
            pass_fds=(commands, events_end),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(f"{folder}/chromium.log", "wb"),
            # A process group of its own, which ends as a whole.
            start_new_session=True,
        )
        os.close(commands)
        os.close(events_end)
        self.events = os.fdopen(events, "rb")
        self.next_id = 0
        self.replies = {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        buffered = b""
        while chunk := self.events.read1(65536):
            *messages, buffered = (buffered + chunk).split(b"\0")
            for message in map(json.loads, messages):
                # The others are events.
                if reply := self.replies.get(message.get("id")):
                    reply.put(message)
        for reply in list(self.replies.values()):
            reply.put({"error": {"message": "Chromium ended"}})

    def call(self, method, session=None, **parameters):
        """Sends one command and returns its result."""
        self.next_id += 1
        number = self.next_id
        self.replies[number] = queue.Queue()
        command = {"id": number, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        try:
            os.write(self.commands, json.dumps(command).encode() + b"\0")
            reply = self.replies[number].get(timeout=COMMAND_TIMEOUT)
        except queue.Empty:
            raise Failure(f"{method} took more than {COMMAND_TIMEOUT} s") from None
        except BrokenPipeError:
            raise Failure(f"{method}: Chromium ended") from None
        finally:
            del self.replies[number]
        if "error" in reply:
            raise Failure(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def page(self, url):
        return Page(self, url)

    def stop(self):
        try:
            self.call("Browser.close")
            self.process.wait(5)
        except (Failure, OSError, subprocess.TimeoutExpired):
            pass
        # Children of the browser that outlive it; its group cannot be another's while one of them is there.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Page:
    """A tab with cookies and caches of its own."""

    def __init__(self, browser, url):
        self.browser = browser
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.open(url)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def open(self, url):
        """Loads a page."""
        navigation = self.call("Page.navigate", url=url)
        if "errorText" in navigation:
            raise Failure(f"{url}: {navigation['errorText']}")
        end = time.monotonic() + 10
        while not (self.run("document.readyState") == "complete" and self.run("location.href") == url):
            if time.monotonic() > end:
                raise Failure(f"{url} does not load")
            time.sleep(0.02)

    def run(self, script, **values):
        """Evaluates an expression, waits for its promise, and returns its value. Its names may be given values."""
        names = ", ".join(values)
        call = f"(({names}) => {script})({', '.join(map(json.dumps, values.values()))})" if values else script
        outcome = self.call("Runtime.evaluate", expression=call, awaitPromise=True, returnByValue=True)
        if details := outcome.get("exceptionDetails"):
            raise Failure(details.get("exception", {}).get("description", details["text"]))
        return outcome["result"].get("value")
