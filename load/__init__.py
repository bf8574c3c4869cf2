"""Who is hurt: Locust users, arrivals and the sample recorder."""
