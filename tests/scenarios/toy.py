"""A service that does as it is told: argv[1] is the folder with its pipe `control`, argv[2] the port that it listens on.

Lines of the pipe: `status TEXT` (what systemd shows of it), `close` (it listens no more), `deaf` (it heeds SIGTERM no more, and says so).
"""

import os
import selectors
import signal
import socket
import sys


def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(os.environ["NOTIFY_SOCKET"])
        manager.send(text.encode())


listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
# Open for both, so that there is no end of file when a writer goes.
control = os.open(os.path.join(sys.argv[1], "control"), os.O_RDWR)
waiting = selectors.DefaultSelector()
waiting.register(listener, selectors.EVENT_READ)
waiting.register(control, selectors.EVENT_READ)
notify("READY=1")

while True:
    for ready, _ in waiting.select():
        if ready.fileobj is listener:
            listener.accept()[0].close()
            continue
        for line in os.read(control, 4096).decode().splitlines():
            word, _, text = line.partition(" ")
            if word == "status":
                notify("STATUS=" + text)
            elif word == "close":
                waiting.unregister(listener)
                listener.close()
            elif word == "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                notify("STATUS=deaf")
