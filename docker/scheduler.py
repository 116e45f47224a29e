"""`airflow scheduler`, with what tasks import loaded beforehand: `scheduler.py scheduler --skip-serve-logs`.

Each task is a fork of the scheduler; what that has imported costs the task nothing, instead of seconds.
"""

from importlib import import_module

from receivables.local_airflow import PRELOADED

if __name__ == "__main__":
    for module in PRELOADED:
        import_module(module)
    from airflow.__main__ import main

    main()
