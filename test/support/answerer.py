# SPDX-License-Identifier: MIT
"""
Answers the questions of ask.c in verdict-function(7): a process that decides about new connections. It accepts those from
127.0.0.1, refuses those from 127.0.0.2, and says nothing about others. Usage: answerer.py PATH
"""
import socket
import struct
import sys

server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.bind(sys.argv[1])
server.listen(1)
connection, _ = server.accept()
while True:
    question = connection.recv(64)
    if not question:
        break
    ticket, source = struct.unpack_from("=Q4s", question)
    answer = {b"\x7f\0\0\1": 1, b"\x7f\0\0\2": 0}.get(source)
    if answer is not None:
        connection.send(struct.pack("=QQ", ticket, answer))
