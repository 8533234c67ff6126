"""The outside systems that pipelines talk to, on loopback: a shop, its CRM, a dashboard and a weather service."""
