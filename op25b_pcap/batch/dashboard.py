"""The door to the pages of Dask's dashboard: they are drawn when somebody comes to look.

What draws them takes a third of a second to load, as long as all else that Dask needs, and few
look. The scheduler takes this module for one of those that serve pages (its setting
`distributed.scheduler.http.routes`).
"""

from __future__ import annotations

from typing import Any

from tornado.web import RequestHandler

from op25b_pcap.batch.extra import needed
from op25b_pcap.faults import UsageFault


class Door(RequestHandler):
    """Leads on to the page that shows most."""

    def initialize(self, dask_server: Any) -> None:
        """`dask_server`: the scheduler."""
        self.scheduler = dask_server

    def get(self) -> None:
        """Who comes first waits for the drawing."""
        application = self.scheduler.http_application
        if not application.applications:
            try:
                pages = needed("distributed.dashboard.scheduler", "the dashboard")
            except UsageFault as fault:
                self.write(str(fault))
                return
            pages.connect(application, self.scheduler.http_server, self.scheduler)
        self.redirect("status")


routes: list[tuple[str, type[RequestHandler], dict[str, Any]]] = [("/", Door, {})]
