"""An nginx of the bench's own: one worker that returns a text, over UDP or TCP."""
from lib import machine

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
CONF = """
load_module {module};
daemon off;
master_process on;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/log warn;
events {{ worker_connections 4096; }}
stream {{ server {{ listen 127.0.0.1:{port}{kind}; return "{text}"; }} }}
"""


class Nginx(machine.Child):
    def __init__(self, folder, port, text, udp=False):
        folder.mkdir()
        (folder / "conf").write_text(CONF.format(module=MODULE, folder=folder, port=port, text=text, kind=" udp" if udp else ""))
        super().__init__(machine.tool("nginx"), "-p", folder, "-e", folder / "log", "-c", folder / "conf", log=folder / "out")
        if udp:
            machine.until("nginx runs", lambda: len(machine.tree(self.pid)) == 2 and (folder / "pid").exists(), 60)
        else:
            self.wait_port(port)
