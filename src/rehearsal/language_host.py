"""The Pulumi Python language host, where the official one is absent: runs the program in this process."""

import importlib
import os
import runpy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from rehearsal.engine_life import leave_with_engine

VERSION = "3.250.0"  # of Pulumi, whose protocol this speaks


class LanguageHost(LanguageServer):
    """Pulumi's own inline server, with what the CLI asks of a language host beside it."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self._one_program = threading.Lock()  # the working directory and sys.path are the process's

    def Handshake(self, request: Any, context: Any) -> Any:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def InstallDependencies(self, request: Any, context: Any) -> Any:
        yield language_pb2.InstallDependenciesResponse(stdout=b"dependencies are those of the project\n")

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        return language_pb2.GetProgramDependenciesResponse()

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Run(self, request: Any, context: Any) -> Any:
        program = Path(request.info.program_directory, request.info.entry_point)
        with self._one_program:
            os.chdir(request.pwd)
            sys.path.insert(0, str(program if program.is_dir() else program.parent))
            importlib.invalidate_caches()
            self.program = lambda: _run(program)
            return super().Run(request, context)  # type: ignore[no-untyped-call]


def _run(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


def main() -> None:
    """Serves until the engine ends; the first line on stdout is the port."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8), options=[("grpc.max_receive_message_length", 400 << 20)])
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    leave_with_engine(server)


if __name__ == "__main__":
    main()
