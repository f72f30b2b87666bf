def measure(context):
    return []
