import os, socket, sys, time

target = sys.argv[1]
said = [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: ", b"GET /" + b"a" * 1_000_000, os.urandom(65_536)]
open_ones, count, end = [], 0, time.monotonic() + 60
while time.monotonic() < end:
    for _ in range(20):
        try:
            if target.startswith("/"):
                one = socket.socket(socket.AF_UNIX)
                one.connect(target)
            else:
                host, port = target.rsplit(":", 1)
                one = socket.create_connection((host, int(port)), timeout=1)
            one.setblocking(False)
            open_ones.append(one)
            one.send(said[count % len(said)])
        except OSError:
            pass
        count += 1
    while len(open_ones) > 400:
        open_ones.pop(0).close()
    time.sleep(0.1)
