#!/usr/bin/python3
# SPDX-License-Identifier: MIT
#
# manager.py: plays the service manager to one service, by the words of sd_notify(3) and sd_listen_fds(3), independent of both
# implementations in this tree.
#
#	manager.py LOG COMMANDS WATCHDOG-SECONDS [NAME=KIND ...] -- PROGRAM [ARGUMENT ...]
#
# It obeys the lines that come through the pipe COMMANDS: `restart SIGNAL` sends that signal, waits for the end, and starts the
# program again with what is in the store; `signal SIGNAL` sends it; `stop SIGNAL` sends it, waits, and ends the manager. A program
# that ends by itself is not started again, and ends the manager. NAME=KIND puts a descriptor into the store beforehand: `file`,
# or `netlink`, a socket of netfilter's without a queue.
#
# LOG gets a line for each thing that happens, with the seconds since the first start in front:
#
#	start PID	says ASSIGNMENT		stores NAME		forgets NAME
#	watchdog	ends PID CODE (or -SIGNAL)	foreign PID	discards NAME
import os, select, signal, socket, struct, sys, time

log_path, commands_path, watchdog = sys.argv[1], sys.argv[2], float(sys.argv[3])
split = sys.argv.index('--')
program = sys.argv[split + 1:]
log_file = open(log_path, 'w', buffering=1)
begin = time.monotonic()
store = []  # (name, descriptor)
address = log_path + '.notify'

notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(address)
os.chmod(address, 0o666)
notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
notify.setblocking(False)
commands = os.open(commands_path, os.O_RDWR | os.O_NONBLOCK)


def log(text):
    log_file.write('%.3f %s\n' % (time.monotonic() - begin, text))


for preset in sys.argv[4:split]:
    name, kind = preset.split('=')
    if kind == 'file':
        descriptor = os.open('/dev/null', os.O_RDONLY)
    else:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        netlink.bind((0, 0))
        descriptor = netlink.detach()
    store.append((name, descriptor))


def start():
    """The program gets the store from descriptor 3 on, and nothing else."""
    pid = os.fork()
    if pid:
        log('start %d' % pid)
        return pid
    high = [os.dup(descriptor) for _, descriptor in store]
    moved = []
    for descriptor in high:
        while descriptor < 3 + len(store):
            descriptor = os.dup(descriptor)
        moved.append(descriptor)
    for index, descriptor in enumerate(moved):
        os.dup2(descriptor, 3 + index, inheritable=True)
    os.closerange(3 + len(store), 4096)
    environment = dict(os.environ, NOTIFY_SOCKET=address)
    if store:
        environment.update(LISTEN_FDS=str(len(store)), LISTEN_PID=str(os.getpid()),
                           LISTEN_FDNAMES=':'.join(name for name, _ in store))
    if watchdog:
        environment.update(WATCHDOG_USEC=str(int(watchdog * 1e6)), WATCHDOG_PID=str(os.getpid()))
    os.execvpe(program[0], program, environment)


def is_same(one, other):
    a, b = os.fstat(one), os.fstat(other)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def take(text, descriptors):
    global fed, ready
    fields = dict(line.split('=', 1) for line in text.split('\n') if '=' in line)
    name = fields.get('FDNAME', 'stored')
    if fields.get('FDSTORE') == '1':
        for descriptor in descriptors:
            if any(is_same(descriptor, kept) for _, kept in store):
                os.close(descriptor)
            else:
                store.append((name, descriptor))
                log('stores %s%s' % (name, '' if fields.get('FDPOLL') == '0' else ' polled'))
        return
    for descriptor in descriptors:
        os.close(descriptor)
    if fields.get('FDSTOREREMOVE') == '1':
        for kept in [kept for kept in store if kept[0] == name]:
            os.close(kept[1])
            store.remove(kept)
        log('forgets %s' % name)
        return
    for key, value in fields.items():
        log('says %s=%s' % (key, value))
    if fields.get('READY') == '1' or fields.get('WATCHDOG') == '1':
        fed = time.monotonic()
    ready = ready or fields.get('READY') == '1'


def listen():
    while True:
        try:
            data, parts, _, _ = notify.recvmsg(4096, 4096)
        except BlockingIOError:
            return
        sender, descriptors = 0, []
        for level, kind, content in parts:
            if kind == socket.SCM_CREDENTIALS:
                sender = struct.unpack('iII', content)[0]
            elif kind == socket.SCM_RIGHTS:
                descriptors = list(struct.unpack('%di' % (len(content) // 4), content))
        if sender == service:
            take(data.decode(), descriptors)
        else:
            log('foreign %d' % sender)
            for descriptor in descriptors:
                os.close(descriptor)


def leave(code):
    for name, descriptor in store:
        log('discards %s' % name)
        os.close(descriptor)
    os.unlink(address)
    sys.exit(code)


def end_by_signal(*_):
    os.kill(service, signal.SIGKILL)
    sys.exit(1)


signal.signal(signal.SIGTERM, end_by_signal)
fed, ready, wanted, rest = 0, False, '', ''
service = start()
while True:
    select.select([notify, commands], [], [], 0.01)
    listen()
    ended, status = os.waitpid(service, os.WNOHANG)
    if ended:
        listen()
        code = os.waitstatus_to_exitcode(status)
        log('ends %d %d' % (service, code))
        if wanted != 'restart':
            leave(0 if code == 0 else 1)
        ready, wanted = False, ''
        service = start()
        continue
    if watchdog and ready and not wanted and time.monotonic() - fed > watchdog:
        log('watchdog')
        wanted = 'stop'
        os.kill(service, signal.SIGABRT)
    try:
        rest += os.read(commands, 4096).decode()
    except BlockingIOError:
        pass
    while not wanted and '\n' in rest:
        line, rest = rest.split('\n', 1)
        verb, name = line.split()
        if verb != 'signal':
            wanted = verb
        os.kill(service, getattr(signal, 'SIG' + name))
