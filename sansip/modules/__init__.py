"""Modules, beside the Kamailio modules that they replace; one file or folder each.

keepalive    nathelper's pings, usrloc's ka_*: phones behind NATs stay reachable, dead ones are found
upstream     uac_reg: this server registers at others
"""
