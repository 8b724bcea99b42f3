"""What is behind `shim.dual`: roles, ids, the copies that go to the other side. It knows neither client."""
