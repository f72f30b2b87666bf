"""Tests of the LangChain plugin: real guards, real agents, a model that follows a script. Offline."""
