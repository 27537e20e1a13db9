"""A Dovecot of our own: its authentication service for a Postfix, and its POP3 server with mailboxes that tests fill."""

import os
import poplib
import shutil
import subprocess

from lib.net import TIMEOUT, free_port, need, wait_until

CONF = """
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
auth_verbose = yes
auth_failure_delay = 0
auth_username_chars =
protocols = {protocols}
auth_mechanisms = {mechanisms}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {directory}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={directory}/mail/%u
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

POP3 = """
mail_location = maildir:~/Maildir
first_valid_uid = 1
mail_max_userip_connections = 1000
disable_plaintext_auth = no
# The name of the file: never the same again, whatever becomes of the mailbox.
pop3_uidl_format = %g
service pop3-login {{
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener pop3s {{
    address = 127.0.0.1
    port = {tls_port}
    ssl = yes
  }}
  service_count = 0
}}
service pop3 {{
  process_limit = 1000
}}
"""

TLS = """
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
"""


class Dovecot:
    """A running instance; `socket` is what smtpd_sasl_path takes."""

    protocols = ""
    mechanisms = "plain login cram-md5 scram-sha-256"

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
            file.write(CONF.format(directory=self.directory, socket=self.socket, protocols=self.protocols,
                                   mechanisms=self.mechanisms) + self.more())
        self.process = None

    def more(self):
        return "ssl = no\n"

    def listens(self):
        return os.path.exists(self.socket)

    def start(self):
        with open(os.path.join(self.directory, "output"), "wb") as output:
            self.process = subprocess.Popen([need("dovecot"), "-F", "-c", self.conffile], stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=subprocess.STDOUT)

        def listens():
            assert self.process.poll() is None, self.log()
            return self.listens()
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


class Pop3(Dovecot):
    """A POP3 server on 127.0.0.1: `port` is plain and, with a certificate (a pair of files), offers STLS; `tls_port` is TLS from
    the first octet.  It takes USER and PASS as well as SASL PLAIN, and pipelines.  Each user has a mailbox of their own."""

    protocols = "pop3"
    mechanisms = "plain"

    def __init__(self, directory, users, certificate=None, **settings):
        self.port, self.tls_port = free_port(), free_port() if certificate else 0
        self.certificate, self.users, self.settings = certificate, dict(users), settings
        self.filled = 0
        super().__init__(directory, users)
        for user in users:
            self._make_mailbox(user)

    def more(self):
        secure = TLS.format(certificate=self.certificate[0], key=self.certificate[1]) if self.certificate else "ssl = no\n"
        return POP3.format(port=self.port, tls_port=self.tls_port) + secure + \
            "".join(f"{name} = {value}\n" for name, value in self.settings.items())

    def listens(self):
        try:
            poplib.POP3("127.0.0.1", self.port, timeout=TIMEOUT).quit()
        except (OSError, poplib.error_proto):
            return False
        return True

    def _mailbox(self, user):
        return os.path.join(self.directory, "mail", user, "Maildir")

    def _make_mailbox(self, user):
        path = self._mailbox(user)
        for name in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(path, name))
        for folder, _, _ in os.walk(os.path.dirname(path)):
            shutil.chown(folder, "nobody", "nogroup")

    def fill(self, user, *messages):
        """Adds messages behind those that are there; each is its octets (lines with CRLF), or the path of a file of them."""
        for message in messages:
            self.filled += 1
            name = f"{1000000000 + self.filled}.M{self.filled}.example"
            path = os.path.join(self._mailbox(user), "tmp", name)
            if isinstance(message, bytes):
                with open(path, "wb") as file:
                    file.write(message)
            else:
                shutil.copyfile(message, path)
            shutil.chown(path, "nobody", "nogroup")
            os.rename(path, os.path.join(self._mailbox(user), "new", name))

    def stored(self, user):
        """The files of the messages that are there, oldest first."""
        folders = [os.path.join(self._mailbox(user), name) for name in ("new", "cur")]
        files = [os.path.join(folder, name) for folder in folders for name in os.listdir(folder)]
        return sorted(files, key=os.path.basename)

    def empty(self, user):
        """A new mailbox, with UIDLs that were not there before."""
        shutil.rmtree(os.path.dirname(self._mailbox(user)))
        self._make_mailbox(user)

    def session(self, user):
        """poplib's, past the login by USER and PASS; the caller ends it."""
        session = poplib.POP3("127.0.0.1", self.port, timeout=TIMEOUT)
        session.user(user)
        session.pass_(self.users[user])
        return session
