"""What `vidmeter calibrate` does with a recorded run: what are this card's sensors like?

`characterise` is the way in: for each reading its refresh period (`response`), window, lag and
delay (`averaging`, against the `course` of a known load or of the driver's own samples), and
whether the energy counter is true (`gate`). `calibration` fits gain and offset against the log of
an external meter (`reference`). All of it is pure functions of a run.
"""
