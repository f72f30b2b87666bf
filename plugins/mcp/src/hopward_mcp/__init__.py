"""The guarding MCP proxy: every `tools/call` authorized, credentialed and logged on its way to the server.

    a message comes in    jsonrpc (strict parse), methods (what each method means)
    and is judged         session: client_side, server_side, endings; pending (what is under way), watch
                          (whether it may go on), turn (one commit per event-loop turn), gate (what a server's
                          sessions share), results, concealment, replies; subscribing (what a listen may
                          name); questions (what a server asks its client), behalf (for whom); mcp_tasks
                          (whose each is): mcp_task_store, client_tasks (the other way round)
    and is traced         telemetry (if at all), tracing (the seam), spans
    a credential goes on  delivery; authority (the seam), over HTTP (http_authority) remote (ours in another
                          process), external (others): breaker
    over stdio            run: client_end, lines; and by the server's transport
      to a command        stdio: upkeep (starts it again when it ends), recollection, restarts, child
      to a url            outbound: headers, parameters, introduction, sse, upstream
    over HTTP             pace (how much of the loop a stream may take), inflow (an answer, read at that pace)
                          serve -> alone, or parent -> sibling (told): one process, or several of them ->
                          serving (change, share, siblings) -> listener -> connection -> front (admission,
                          tally, readiness) -> endpoint (ongoing): request, visit, headers, http_sessions,
                          departure, withdrawal; put together by endpoints; and by the server's transport (the
                          seam is server_end)
      to a url            http_end -> relay: sse, upstream
      to a command        stdio_end -> carriage: outlet, sse; workers (who gets a process), worker (whose is a
                          message of it): child, lines
    before clients of     older_server: seam, greeting, older_shapes, older_calls, inputs, parked, listening
    2026-07-28
    before servers of     footing (over stdio), older_callers (over HTTP): who needs it -> older_client:
    2026-07-28 alone      older_form, rounds, subscription, way (its seam); over HTTP older_session, inquiry
    on the command line   cli (loads the others only when they run)

Nothing here decides: `hopward.Guard` does. From stdio to stdio nothing of the HTTP side is imported.
"""
