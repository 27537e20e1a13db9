"""The programs that call sendmail: the commands, the arguments that sendmail gets, and the mail that is to arrive."""

import dataclasses

from lib.callers import HOSTNAME

ADMIN = "admin@example.net"                 # whose alias root is
ROOT = f"root@{HOSTNAME}"
SUBJECT = "Grüße: web1"
BODY = "Grüße\n.\nFrom here on\nlast\n"      # a lone dot, a line that an mbox would quote, and 8 bits
PHPMAILER = """<?php require '/usr/share/php/libphp-phpmailer/autoload.php';
$m = new PHPMailer\\PHPMailer\\PHPMailer(true);
switch ($argv[1]) {
case 'mail': $m->isMail(); break;
case 'sendmail': $m->isSendmail(); break;
default: $m->isSMTP(); $m->Host = '127.0.0.1'; $m->Port = (int)$argv[1];
}
$m->CharSet = 'UTF-8'; $m->setFrom('ann@example.org', 'Änn'); $m->addAddress('bob@example.net', 'Bob Ü');
$m->addBCC('dora@example.org'); $m->Subject = $argv[2]; $m->Body = stream_get_contents(STDIN); $m->send();
"""
UNATTENDED = """import importlib.machinery, importlib.util, sys
loader = importlib.machinery.SourceFileLoader("unattended", "/usr/bin/unattended-upgrade")
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("unattended", loader))
loader.exec_module(module)
if sys.argv[1] == "mailx":
    code = module._send_mail_using_mailx("", "root", sys.argv[2], sys.stdin.read())
else:
    code = module._send_mail_using_sendmail("root", "root", sys.argv[2], sys.stdin.read())
sys.exit(code)
"""
RUBY = """require "mail"
m = Mail.new { from "Änn <ann@example.org>"; to "root"; bcc "dora@example.org" }
m.charset = "UTF-8"; m.subject = ARGV[0]; m.body = STDIN.read
m.delivery_method :sendmail
m.deliver!
"""
MIME_LITE = """use MIME::Lite; local $/; my $body = <STDIN>;
MIME::Lite->new(From => 'ann@example.org', To => 'root', Bcc => 'dora@example.org', Subject => 'plain',
    Type => 'text/plain; charset=UTF-8', Encoding => '8bit', Data => $body)->send or exit 1;
"""
# As logwatch, rkhunter and many scripts do.
PERL_PIPE = """open(my $m, "|/usr/sbin/sendmail -oi -t") or die; local $/;
print $m "To: root\\nFrom: root\\nSubject: plain\\nContent-Type: text/plain; charset=UTF-8\\n\\n", <STDIN>; close($m) or exit 1;
"""
PHP_MAIL = ('exit(mail("root", $argv[1], stream_get_contents(STDIN), "From: ann@example.org\\r\\nBcc: dora@example.org\\r\\n'
            'Content-Type: text/plain; charset=UTF-8", $argv[2] ?? "") ? 0 : 1);')
MDADM = (f"From: mdadm monitoring <root>\nTo: root\nSubject: Fail event on /dev/md0:{HOSTNAME}\n\n"
         f"This is an automatically generated mail message from mdadm\nrunning on {HOSTNAME}\n\n")
SMARTD = {"ADDRESS": "root", "MESSAGE": "Device: /dev/sda, FAILED SMART self-check", "FAILTYPE": "Health", "TFIRST": "now",
          "DEVICE": "/dev/sda", "DEVICETYPE": "ata", "DEVICESTRING": "/dev/sda", "DEVICEINFO": "disk", "PREVCNT": "0", "NEXTDAYS": "1"}
APTICRON = ("mailx", "-a", "MIME-Version: 1.0", "-a", "Content-type: text/plain; charset=UTF-8", "-a",
            "Content-transfer-encoding: 8bit")
FROM_ANN = ["-e", 'set from=ann@example.org realname="Änn" envelope_from=yes charset=utf-8 send_charset=utf-8']


@dataclasses.dataclass
class Caller:
    """One way of handing in a mail through sendmail.  None: not compared."""

    name: str
    command: tuple
    arguments: list                         # of sendmail, as the program gives them
    sender: str = ROOT
    recipients: tuple = (ADMIN,)
    author: str = ROOT                      # the address of From
    to: tuple = (ADMIN,)                    # the addresses of To
    subject: str = SUBJECT
    text: str = BODY
    body: str | None = BODY                 # what arrives
    failure: str = "exit"                   # how it tells that sendmail failed: exit; letter: in dead.letter, too; nothing


ANN = {"sender": "ann@example.org", "author": "ann@example.org"}
CALLERS = [
    Caller("bsd-mailx", ("bsd-mailx", "-s", SUBJECT, "root"), ["-i", "-t"]),
    Caller("bsd-mailx -r -c -b", ("bsd-mailx", "-s", SUBJECT, "-r", "ann@example.org", "-c", "carl@example.org", "-b", "dora@example.org",
                                  "root", "bob@example.net"), ["-i", "-t", "-f", "ann@example.org"], **ANN,
           recipients=("bob@example.net", ADMIN, "carl@example.org", "dora@example.org"), to=("bob@example.net", ADMIN)),
    Caller("s-nail", ("s-nail", "-n", "-s", SUBJECT, "root"), ["-i", "--", "root"], failure="letter"),
    Caller("s-nail -r -c -b", ("s-nail", "-n", "-s", SUBJECT, "-S", "ttycharset=utf-8", "-r", "ann@example.org", "-c", "carl@example.org",
                               "-b", "dora@example.org", "root"),
           ["-i", "-f", "ann@example.org", "--", "root", "carl@example.org", "dora@example.org"], **ANN,
           recipients=(ADMIN, "carl@example.org", "dora@example.org"), failure="letter"),
    Caller("mailutils", ("mail.mailutils", "-N", "-s", SUBJECT, "root"), ["-oi", "-f", ROOT, "-t"],
           text=BODY.replace("\n.\n", "\n..\n"), body=BODY.replace("\n.\n", "\n..\n"), failure="letter"),       # it ends at a dot itself
    Caller("mutt", ("mutt", "-n", "-e", "set charset=utf-8 send_charset=utf-8", "-s", SUBJECT, "root"), ["-oem", "-oi", "--", ROOT]),
    Caller("mutt -c -b", ("mutt", "-n", *FROM_ANN, "-s", SUBJECT, "-c", "carl@example.org", "-b", "dora@example.org", "bob@example.net"),
           ["-oem", "-oi", "-f", "ann@example.org", "--", "bob@example.net", "carl@example.org", "dora@example.org"], **ANN,
           recipients=("bob@example.net", "carl@example.org", "dora@example.org"), to=("bob@example.net",)),
    Caller("php mail()", ("php", "-r", PHP_MAIL, SUBJECT), ["-t", "-i"], author="ann@example.org",
           recipients=(ADMIN, "dora@example.org")),
    Caller("php mail() -f", ("php", "-r", PHP_MAIL, SUBJECT, "-fann@example.org"), ["-t", "-i", "-fann@example.org"], **ANN,
           recipients=(ADMIN, "dora@example.org")),
    Caller("PHPMailer, WordPress", ("php", "{phpmailer}", "mail", SUBJECT), ["-t", "-i", "-fann@example.org"], **ANN,
           recipients=("bob@example.net", "dora@example.org"), to=("bob@example.net",)),
    Caller("PHPMailer sendmail", ("php", "{phpmailer}", "sendmail", SUBJECT), ["-t", "-i", "-oi", "-fann@example.org", "-t"], **ANN,
           recipients=("bob@example.net", "dora@example.org"), to=("bob@example.net",)),
    Caller("ruby mail", ("ruby", "-e", RUBY, SUBJECT), ["-i", "-f", "ann@example.org", "--", "root", "dora@example.org"], **ANN,
           recipients=(ADMIN, "dora@example.org"), failure="nothing"),
    Caller("perl MIME::Lite", ("perl", "-e", MIME_LITE), ["-t", "-oi", "-oem", "-fann@example.org"], **ANN, subject="plain",
           recipients=(ADMIN, "dora@example.org")),
    Caller("perl pipe", ("perl", "-e", PERL_PIPE), ["-oi", "-t"], subject="plain"),
    Caller("python pipe", ("/usr/bin/python3", "-c", "import subprocess, sys; sys.exit(subprocess.run(['/usr/sbin/sendmail', '-t', '-oi'], "
                           "input=b'To: root\\nSubject: plain\\n\\n' + sys.stdin.buffer.read()).returncode)"), ["-t", "-oi"], subject="plain"),
    Caller("unattended-upgrades mailx", ("/usr/bin/python3", "-c", UNATTENDED, "mailx", SUBJECT), ["-i", "-t", "-f", ""], sender=""),
    Caller("unattended-upgrades sendmail", ("/usr/bin/python3", "-c", UNATTENDED, "sendmail", SUBJECT), ["-oi", "-t"]),
    Caller("smartd", ("env", *(f"SMARTD_{key}={value}" for key, value in SMARTD.items()), "/usr/share/smartmontools/smartd_warning.sh"),
           ["-i", "-t"], subject="SMART error (Health) detected on host: web1", body=None),
    Caller("apticron", (*APTICRON, "-s", "3 Debian package update(s)", "root"), ["-i", "-t"], subject="3 Debian package update(s)"),
    Caller("nagios", ("sh", "-c", r'printf "%b" "$1" | mail -s "$2" root', "sh", BODY.replace("\n", r"\n"), SUBJECT), ["-i", "-t"]),
    Caller("mdadm", ("sh", "-c", "exec /usr/sbin/sendmail -t"), ["-t"], text=MDADM, body=MDADM.split("\n\n", 1)[1],
           subject=f"Fail event on /dev/md0:{HOSTNAME}"),
    Caller("logwatch", ("logwatch", "--output", "mail", "--mailto", "root", "--range", "today", "--service", "zz-sys", "--format", "text"),
           ["-t"], subject=f"Logwatch for {HOSTNAME} (Linux)", body=None, failure="nothing"),
    Caller("git send-email", ("sh", "-c", "{git} --from='Änn <ann@example.org>' --to=root --bcc=dora@example.org *.patch"),
           ["-i", "root", "dora@example.org"], author="ann@example.org", subject="[PATCH] Füge datei hinzu", body=None,
           recipients=(ADMIN, "dora@example.org")),
    Caller("git send-email --envelope-sender", ("sh", "-c", "{git} --envelope-sender=ann@example.org --sendmail-cmd='/usr/sbin/sendmail -t' "
                                                "--from='Änn <ann@example.org>' --to=bob@example.net *.patch"),
           ["-t", "-f", "ann@example.org", "-i", "bob@example.net"], **ANN, subject="[PATCH] Füge datei hinzu", body=None,
           recipients=("bob@example.net",), to=("bob@example.net",)),
    Caller("old scripts", ("sh", "-c", "{ echo 'Subject: plain'; echo; cat; } | /usr/lib/sendmail -fann@example.org -oi -om root"),
           ["-fann@example.org", "-oi", "-om", "root"], **ANN, to=(), subject="plain"),
]
GIT = ("git init -q . && git config user.name 'Änn' && git config user.email ann@example.org && echo ä >datei && git add datei && "
       "git commit -qm 'Füge datei hinzu' && git format-patch -q --root HEAD && "
       "exec git send-email --quiet --confirm=never --suppress-cc=all")
