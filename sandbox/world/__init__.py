"""The outside systems that pipelines talk to, on loopback: a shop, its CRM and a dashboard."""
