"""Three programs that log in through httpx: by hand, with httpx-oauth in FastAPI, and an MCP client with its server."""
