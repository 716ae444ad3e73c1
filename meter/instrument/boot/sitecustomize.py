"""Runs first in every Python below `vidmeter run`; leaves no trace but the hook.

The syntax is old on purpose: whatever Python comes here must be able to read it.
"""

import os
import sys

_boot = os.path.dirname(os.path.abspath(__file__))
_variable = os.environ.get("PYTHONPATH", "")
_rest = [part for part in _variable.split(os.pathsep) if part.rstrip(os.sep) != _boot]
if _boot + os.sep in _variable.split(os.pathsep):
    os.environ["PYTHONPATH"] = ""  # it was set, and empty
elif _rest:
    os.environ["PYTHONPATH"] = os.pathsep.join(_rest)
elif "PYTHONPATH" in os.environ:
    del os.environ["PYTHONPATH"]
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _boot]
for _entry in (_boot, _boot + os.sep):
    sys.path_importer_cache.pop(_entry, None)

if sys.version_info >= (3, 10) and os.environ.get("VIDMETER_MARKS"):
    try:
        _package = type(sys)("_vidmeter")
        _package.__path__ = [os.path.dirname(os.path.dirname(_boot))]
        sys.modules["_vidmeter"] = _package
        from _vidmeter.instrument.hook import install

        install(_boot)
    except Exception as _error:  # noqa: BLE001 - nothing of ours may stop the program
        _line = '{"mark":"note","kind":"hook_failed","text":"phases are not marked: %s","t_ns":0}\n'
        try:
            with open(os.path.join(os.environ["VIDMETER_MARKS"], "boot.jsonl"), "a") as _file:
                _file.write(_line % repr(_error).replace("\\", "/").replace('"', "'"))
        except OSError:
            pass

# The one that was shadowed takes this module's place. If there is none, the error tells site.py,
# which passes over it as always.
del sys.modules["sitecustomize"]
import sitecustomize  # noqa: E402, F401
