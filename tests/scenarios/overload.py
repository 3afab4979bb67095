import asyncio, sys, time

rate, under_way = int(sys.argv[1]), asyncio.Semaphore(200)

async def ask():
    async with under_way:
        try:
            reader, writer = await asyncio.open_connection("lb-1", 80)
            writer.write(b"GET /ping HTTP/1.1\r\nHost: lb-1\r\nConnection: close\r\n\r\n")
            await asyncio.wait_for(reader.read(), 10)
            writer.close()
        except (OSError, asyncio.TimeoutError):
            pass

async def main():
    begin, asked = time.monotonic(), []
    for n in range(rate * 60):
        await asyncio.sleep(max(0, begin + n / rate - time.monotonic()))
        asked = [one for one in asked if not one.done()] + [asyncio.create_task(ask())]

asyncio.run(main())
