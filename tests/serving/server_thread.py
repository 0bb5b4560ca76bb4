"""A server in a thread, to reach it over the network."""

import threading
import time

import uvicorn


class Server:
    """Serves an application in a thread."""

    def __init__(self, app):
        config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        [socket] = self.server.servers[0].sockets
        self.address = socket.getsockname()
        self.url = "http://{}:{}/".format(*self.address)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(20)
