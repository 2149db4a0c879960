"""A Django project with django-oauth-toolkit. It prints its address once it listens.

    server.py DATABASE
"""

import os
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings


def lifetime(request):
    return 2 if request.client_id == "hasty" else 600


settings.configure(
    SECRET_KEY=os.urandom(24).hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1], "OPTIONS": {"timeout": 20}}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    ROOT_URLCONF=__name__,
    # The client in the test sends its secrets in the clear; a fast hash is enough.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    OAUTH2_PROVIDER={
        "SCOPES": {"orders.read": "Read", "orders.write": "Write", "push.application.*": "Push", "introspection": "Introspect"},
        "DEFAULT_SCOPES": [],
        "EXTRA_SERVER_KWARGS": {"token_expires_in": lifetime},
    },
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import get_application_model  # noqa: E402

urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def add_client(client_id, secret):
    application = get_application_model()
    kind, grant = application.CLIENT_CONFIDENTIAL, application.GRANT_CLIENT_CREDENTIALS
    fields = {"client_id": client_id, "client_secret": secret, "name": client_id}
    application.objects.create(**fields, client_type=kind, authorization_grant_type=grant)


call_command("migrate", verbosity=0)
add_client("app", "app-secret")
add_client("hasty", "hasty-secret")
add_client("foreign", "foreign-secret")
add_client("gateway", os.environ["GATEWAY_SECRET"])
server = make_server("127.0.0.1", 0, get_wsgi_application(), Server, Quiet)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
