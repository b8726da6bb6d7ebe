"""From metrics to a verdict: load them, judge gates, and write the table and the HTML report."""
