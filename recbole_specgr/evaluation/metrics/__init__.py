"""Metrics, one class a file; `recbole_specgr.settings.named_classes.metric_class` finds them by name."""
