"""A Django project with PyPI's `django-oauth-toolkit`."""

import os

import bed
from mission import Kind

HERE = os.path.dirname(os.path.abspath(__file__))


def _with_rule(text):
    """The clients that may call, as the page shows it."""
    rule = 'claims = [{ claim = "client_id", one_of = ["app", "hasty"] }]'
    return bed.replaced(text, "[issuers.django]\n", f"[issuers.django]\n{rule}\n")


class Server:
    title = "django-oauth-toolkit (PyPI)"
    process = "django"
    lesser_scope = None
    can_rotate = False
    kinds = [
        Kind("opaque", "opaque, without aud", "django", lambda text: text, True, False, True),
        Kind("rule", "opaque, with a rule", "django", _with_rule, True, False, True),
        Kind("resource", "opaque, with aud", "django", lambda text: text, True, False, True),
    ]

    def install(self, folder):
        self.python = bed.python_environment(folder, os.path.join(HERE, "requirements.txt"))

    def version(self):
        return f"{bed.python_version(self.python, 'django-oauth-toolkit')}, {bed.python_version(self.python, 'django')}"

    def start(self, processes):
        environment = {"GATEWAY_SECRET": bed.GATEWAY_SECRET}
        command = [self.python, os.path.join(HERE, "server.py"), f"{processes.folder}/django.db"]
        processes.start(self.process, command, environment)
        self.url = processes.printed_address(self.process)

    def has_audiences(self, kind):
        """It names an audience only if the client requests one. A rule over the client takes its place."""
        return kind.name != "opaque"

    def token(self, kind, client, scope, api):
        form = {} if scope is None else {"scope": scope}
        if kind.name == "resource":
            form["resource"] = api
        elif api != bed.API:
            client = "foreign"
        return bed.access_token(f"{self.url}/o/token/", (client, f"{client}-secret"), form)

    def revoke(self, _kind, token):
        response = bed.call("POST", f"{self.url}/o/revoke_token/", form={"token": token}, basic=("app", "app-secret"))
        assert response.status == 200, f"expected 200, but found {response}"
