"""How much an answer may take before it is stopped."""

TIME = 60.0  # seconds for importing the answer, for each run of it, and for each call of a function
NAP = 900.0  # seconds; whoever sleeps this long or longer is not waited for, and it is told
SLEPT = 8 * 86_400.0  # seconds of such sleep after which a task is ended: a sensor's own patience is 7 days
LOOKS = 40  # of one task that comes back to look; it goes on for ever, as far as a check can tell
OUTPUT = 10 << 20  # bytes printed and logged by one task
SHOWN = 1 << 20  # characters that a cell prints and displays
LARGEST_FILE = 4_000_000  # bytes of a file that become evidence; of a larger one, only that it is there
EVIDENCE = 64 << 20  # bytes of files that become evidence, together
MOST_FILES = 2_000
DEEPEST = 30  # folders in one another, of which the files become evidence
MOST_ROWS = 100_000  # of one table
MOST_PLANNED = 10_000  # runs that a timetable is asked for, one after the other
MESSAGE = 16 << 20  # bytes of what one learner process reports
LINES = 60  # of a task's log: a traceback through Airflow alone is 30
LINE = 2_000  # characters of one line
LARGE = 2_000  # bytes of JSON from which an XCom's value is cut short
