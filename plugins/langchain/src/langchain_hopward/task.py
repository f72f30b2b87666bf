"""`with hopward.task(...)`: a task for what happens inside, and nothing after it."""

from collections.abc import Mapping
from contextlib import suppress
from contextvars import Token
from types import TracebackType

from hopward import StateError, Task
from langchain_hopward.enforcer import Enforcer
from langchain_hopward.place import Place


class TaskScope:
    """Opens a task, binds its chain to the context, and completes it at the end, also after an error.

    Where a run in it was interrupted for people to answer, and they can still be, the task stays open at the
    end, for `Hopward.resume`. For `with` and `async with`, once.
    """

    def __init__(
        self,
        enforcer: Enforcer,
        workflow: str,
        subject: str,
        parameters: Mapping[str, str] | None = None,
        request: str = "",
    ) -> None:
        self._enforcer = enforcer
        self._workflow = workflow
        self._subject = subject
        self._parameters = dict(parameters or {})
        self._request = request
        self._task: Task | None = None
        self._token: Token[Place | None] | None = None

    def open(self) -> Place:
        """Open the task, and bind it to nothing; where code inside it is. Raises as `__enter__` does.

        Inside a task there is no other: it would be a way out of what the task, or a hop, allows.
        """
        return self._opened()[1]

    def _opened(self) -> tuple[Task, Place]:
        if self._task is not None:
            raise StateError("This task has been entered before; make a new one.")
        guard = self._enforcer.guard
        place = self._enforcer.place.get()
        if place is not None and (place.chain.hops or guard.task(place.chain.task).state == "open"):
            raise StateError(
                f"Task {place.chain.task} is under way here, and nothing inside it opens another.",
                advice="Leave its block first. One in a generator holds for whoever reads that: "
                "hopward.entry(graph) has a task for each stream.",
            )
        self._task = task = self._begun()
        return task, Place(guard.enter(task.id))

    def _begun(self) -> Task:
        return self._enforcer.guard.open_task(
            self._workflow, self._subject, parameters=self._parameters, request=self._request
        )

    def close(self, *, waits: bool = False) -> None:
        """Complete the task, unless it `waits`.

        Raises `LedgerError` where that cannot be recorded; it then ends by its time.
        """
        if self._task is None:
            return
        if not waits:
            # Revoked or expired meanwhile, it has ended already.
            with suppress(StateError):
                self._enforcer.guard.complete_task(self._task.id)
            self._enforcer.suspended.forget(self._task.id)
            self._enforcer.waiting.forget(self._task.id)
        self._enforcer.abandon(self._task.id)

    def __enter__(self) -> Task:
        """The task. Raises `NotFoundError` for an unknown workflow, `StateError` if none can be opened."""
        task, place = self._opened()
        self._token = self._enforcer.place.set(place)
        return task

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As `close`. After an error, the task waits for nothing."""
        if self._token is None:
            return
        token, self._token = self._token, None
        try:
            waits = self._task is not None and self._enforcer.waiting.of_task(self._task.id)
            self.close(waits=waits and error is None)
        finally:
            # Entered in another context, it is left there: the task is over, so the chain reaches nothing.
            with suppress(ValueError):
                self._enforcer.place.reset(token)

    async def __aenter__(self) -> Task:
        """As `__enter__`."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As `__exit__`."""
        self.__exit__(kind, error, traceback)


class ResumedTask(TaskScope):
    """A task that was left open, once more bound to the context."""

    def __init__(self, enforcer: Enforcer, task: str) -> None:
        super().__init__(enforcer, "", "")
        self._resumed = task

    def _begun(self) -> Task:
        return self._enforcer.guard.task(self._resumed)
