"""The sentence as code: plays one exercise in a world and judges it; here, in another process or in forks."""
