"""Metrics, one class a file; `recbole_specgr.settings.registry.metric_class` finds them by name."""
