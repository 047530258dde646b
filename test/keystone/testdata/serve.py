"""Serves a Keystone whose database is in a folder, which it fills at the first start: serve.py FOLDER PORT

These are the distribution's own programs. One process runs them, since most of their time goes into loading Keystone.
It ends when its standard input does: so none is left behind.
"""
import os
import pwd
import runpy
import sqlite3
import sys
import threading

from keystone.cmd import cli
import keystone.server.wsgi  # what the programs load

folder, port = sys.argv[1:]
config = os.path.join(folder, "keystone.conf")


def manage(*command):
    child = os.fork()
    if child == 0:
        try:
            cli.main(["keystone-manage", "--config-file", config, *command])
        except BaseException as error:
            print(command[0], repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("keystone-manage " + command[0] + " failed")


database = os.path.join(folder, "keystone.db")
if not os.path.exists(database):
    sqlite3.connect(database).execute("pragma journal_mode = wal")  # else one who reads keeps others from writing
    owner = pwd.getpwuid(os.getuid()).pw_name
    manage("db_sync")
    manage("fernet_setup", "--keystone-user", owner, "--keystone-group", str(os.getgid()))
    manage("bootstrap", "--bootstrap-region-id", "RegionOne")  # the password is in the environment

threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
os.environ["OS_KEYSTONE_CONFIG_FILES"] = config
sys.argv = ["keystone-wsgi-public", "--host", "127.0.0.1", "--port", port]
runpy.run_path("/usr/bin/keystone-wsgi-public", run_name="__main__")
