"""Runs several commands of a service's manage program in one process, since most of their time goes into loading it.

manage.py MODULE PROGRAM OPTIONS... -- COMMAND... [-- COMMAND...]
"""
import importlib
import os
import sys

module, program, *rest = sys.argv[1:]
parts = [[]]
for word in rest:
    if word == '--':
        parts.append([])
    else:
        parts[-1].append(word)
options, commands = parts[0], parts[1:]
main = importlib.import_module(module).main
for command in commands:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.argv = [program] + options + command
            code = (main(sys.argv) if module.startswith('keystone') else main()) or 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:
            print(command, repr(error), file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit('%s %s failed' % (program, command))
