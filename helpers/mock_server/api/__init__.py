"""The API families: each reads its requests and gives its answers the wire shapes of OpenAI's."""
