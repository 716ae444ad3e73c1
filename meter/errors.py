"""The errors a caller can act on.

VidmeterError
├── NoDevice              nothing with a power reading answers here
├── SensorFailed          a device answered and then stopped
├── BadRun                a run file that can't be read, or may not be written
├── BadCalibration        a calibration or a reference log that can't be used
├── BadImport             a file of another program that can't be understood
└── WorkloadUnavailable   a reference job that can't run on this machine

Each message is one line: what is wrong, then what to do about it. The command line prints it and
exits with 2.
"""


class VidmeterError(Exception):
    """Base of every error that vidmeter raises on purpose."""


class NoDevice(VidmeterError):
    """No device of the wanted sort can be read here; the message says why and what would help."""


class SensorFailed(VidmeterError):
    """A sensor that could be opened stopped answering."""


class BadRun(VidmeterError):
    """A file that is no run, is newer than this version, is damaged, or may not be overwritten."""


class BadCalibration(VidmeterError):
    """A calibration of another card, or a log of an external meter that makes no sense."""


class BadImport(VidmeterError):
    """A file that is of no known format, or lacks what its format must have."""


class WorkloadUnavailable(VidmeterError):
    """A workload that can't run here: a package, memory or a device is missing."""
