"""Dovecot's authentication service for a Postfix of our own, as administrators join the two."""

import os
import shutil
import subprocess

from lib.net import need, wait_until

CONF = """
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
auth_verbose = yes
auth_failure_delay = 0
auth_username_chars =
protocols =
ssl = no
auth_mechanisms = plain login cram-md5 scram-sha-256
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {directory}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {socket} {{
    mode = 0666
  }}
}}
# No delay that grows with each refusal.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  client_limit = 100
}}
"""


class Dovecot:
    """A running instance; `socket` is what smtpd_sasl_path takes."""

    def __init__(self, directory, users):
        self.directory = os.path.join(directory, "dovecot")
        self.socket = os.path.join(self.directory, "auth.sock")
        os.makedirs(os.path.join(self.directory, "run"))
        os.makedirs(os.path.join(self.directory, "state"))
        with open(os.path.join(self.directory, "users"), "w") as file:
            file.writelines(f"{user}:{{PLAIN}}{password}\n" for user, password in users.items())
        shutil.chown(os.path.join(self.directory, "users"), "dovecot")
        self.conffile = os.path.join(self.directory, "dovecot.conf")
        with open(self.conffile, "w") as file:
            file.write(CONF.format(directory=self.directory, socket=self.socket))
        self.process = None

    def start(self):
        with open(os.path.join(self.directory, "output"), "wb") as output:
            self.process = subprocess.Popen([need("dovecot"), "-F", "-c", self.conffile], stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=subprocess.STDOUT)

        def listens():
            assert self.process.poll() is None, self.log()
            return os.path.exists(self.socket)
        wait_until(listens, "Dovecot listens")
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def log(self):
        texts = []
        for name in ("output", "log"):
            path = os.path.join(self.directory, name)
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    texts.append(file.read())
        return "".join(texts)
