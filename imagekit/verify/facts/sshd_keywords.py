"""The keywords of sshd_config(5), old ones that sshd still reads included, and which of them ``Match`` does not take.

Collected by asking Debian's OpenSSH 9.2p1 and 10.0p1 about each word; Red Hat's own ones are among them. An OpenSSH
that is newer than this table is asked itself: its program holds the words as text.
"""

from imagekit.verify.view import View, fact

_KNOWN_WORDS = """
    acceptenv addressfamily afstokenpassing allowagentforwarding allowgroups allowstreamlocalforwarding
    allowtcpforwarding allowusers authenticationmethods authorizedkeyscommand authorizedkeyscommanduser
    authorizedkeysfile authorizedkeysfile2 authorizedprincipalscommand authorizedprincipalscommanduser
    authorizedprincipalsfile banner casignaturealgorithms challengeresponseauthentication channeltimeout checkmail
    chrootdirectory ciphers clientalivecountmax clientaliveinterval compression debianbanner denygroups denyusers
    disableforwarding dsaauthentication exposeauthinfo fingerprinthash forcecommand gatewayports
    gssapiauthentication gssapicleanupcredentials gssapicleanupcreds gssapienablek5users gssapiindicators
    gssapikexalgorithms gssapikeyexchange gssapistorecredentialsonrekey gssapistrictacceptorcheck
    gssapiusesessioncredcache gssusesessionccache hostbasedacceptedalgorithms hostbasedacceptedkeytypes
    hostbasedauthentication hostbasedusesnamefrompacketonly hostcertificate hostdsakey hostkey hostkeyagent
    hostkeyalgorithms ignorerhosts ignoreuserknownhosts include ipqos kbdinteractiveauthentication
    kerberosauthentication kerberosgetafstoken kerberosorlocalpasswd kerberostgtpassing kerberosticketcleanup
    kerberosuniqueccache kerberosusekuserok kexalgorithms keyregenerationinterval listenaddress logingracetime
    loglevel logverbose macs match maxauthtries maxsessions maxstartups modulifile
    pamauthenticationviakbdint pamservicename passwordauthentication permitblacklistedkeys permitemptypasswords
    permitlisten permitopen permitrootlogin permittty permittunnel permituserenvironment permituserrc
    persourcemaxstartups persourcenetblocksize persourcepenalties persourcepenaltyexemptlist pidfile port
    printlastlog printmotd protocol pubkeyacceptedalgorithms pubkeyacceptedkeytypes pubkeyauthentication
    pubkeyauthoptions rdomain refuseconnection rekeylimit requiredrsasize reversemappingcheck revokedkeys
    rhostsauthentication rhostsrsaauthentication rsaauthentication rsaminsize securitykeyprovider serverkeybits
    setenv showpatchlevel skeyauthentication sshdauthpath sshdsessionpath streamlocalbindmask streamlocalbindunlink
    strictmodes subsystem syslogfacility tcpkeepalive trustedusercakeys unusedconnectiontimeout usedns
    uselogin usepam useprivilegeseparation verifyreversemapping versionaddendum warnweakcrypto x11displayoffset
    x11forwarding x11uselocalhost xauthlocation
"""
_GLOBAL_WORDS = """
    addressfamily ciphers compression debianbanner fingerprinthash gssapicleanupcredentials gssapikexalgorithms
    gssapikeyexchange gssapistorecredentialsonrekey gssapistrictacceptorcheck hostcertificate hostkey hostkeyagent
    hostkeyalgorithms ignoreuserknownhosts kerberosgetafstoken kerberosorlocalpasswd kerberosticketcleanup
    kexalgorithms listenaddress logingracetime macs maxstartups modulifile permituserenvironment
    persourcemaxstartups persourcenetblocksize persourcepenalties persourcepenaltyexemptlist pidfile port
    printlastlog printmotd securitykeyprovider sshdauthpath sshdsessionpath strictmodes syslogfacility tcpkeepalive
    usedns usepam versionaddendum xauthlocation
"""
# Keywords whose lines add up instead of the first one winning.
_REPEATABLE_WORDS = """
    acceptenv allowgroups allowusers denygroups denyusers hostcertificate hostkey include listenaddress logverbose
    match port setenv subsystem
"""
_KNOWN = frozenset(_KNOWN_WORDS.split())
NOT_IN_MATCH = frozenset(_GLOBAL_WORDS.split())
REPEATABLE = frozenset(_REPEATABLE_WORDS.split())
# What the policy checks look at; sshd ends with "unsupported option" for any other word.
_YES_NO = frozenset({"yes", "no"})
VALUES = {
    "kbdinteractiveauthentication": _YES_NO,
    "passwordauthentication": _YES_NO,
    "permitemptypasswords": _YES_NO,
    "permitrootlogin": frozenset({"yes", "no", "prohibit-password", "without-password", "forced-commands-only"}),
    "pubkeyauthentication": _YES_NO,
    "strictmodes": _YES_NO,
    "usedns": _YES_NO,
    "usepam": _YES_NO,
}
_PROGRAMS = ("/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/usr/libexec/openssh/sshd-session")
_LARGEST_PROGRAM = 8 << 20


def is_keyword(view: View, keyword: str) -> bool:
    """Say whether the image's sshd takes ``keyword`` (in lower case)."""
    if keyword in _KNOWN:
        return True
    word = keyword.encode("utf-8", "surrogateescape") + b"\0"  # the end of a longer word may serve for two
    return any(word in program for program in _read_programs(view))


@fact
def _read_programs(view: View) -> tuple[bytes, ...]:
    programs = (view.tree.read(path, _LARGEST_PROGRAM) for path in _PROGRAMS)
    return tuple(program for program in programs if program is not None)
