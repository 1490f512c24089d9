"""A fault as Intuit's servers answer it."""


class FaultError(Exception):
    """Ends a request of the sandbox with a Fault."""

    def __init__(
        self,
        message: str,
        code: str,
        detail: str = "",
        *,
        element: str = "",
        kind: str = "ValidationFault",
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.detail, self.element = message, code, detail or message, element
        self.kind, self.status = kind, status
