# What is wrong with the values of imagekit.pihole, as sentences; an empty list when nothing is. Plain Nix, no nixpkgs.
cfg:
let
  ipv4 = import ../ipv4.nix;
  inherit (builtins) all concatMap match;

  complain = condition: sentence: if condition then [ sentence ] else [ ];
  isLabel = text: match "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" text != null;
  isKey =
    text:
    match "(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp[0-9]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+=*( [^\n]*)?" text
    != null;
  isLoopback = text: match "127[.].*" text != null;

  inherit (cfg.identity) address hostName;
  addresses = ipv4.isAddress address && ipv4.isAddress cfg.gateway;

  judgeImage =
    name:
    let
      image = cfg.images.${name};
    in
    complain (match "[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+" image.name == null)
      "images.${name}.name is \"${image.name}\", which is no name of a container image with its registry"
    ++ complain (
      match "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}" image.tag == null
    ) "images.${name}.tag is \"${image.tag}\", which is no tag of a container image"
    ++ complain (
      match "sha256:[0-9a-f]{64}" image.digest == null
    ) "images.${name}.digest is \"${image.digest}\"; a digest is sha256: and 64 hexadecimal digits"
    ++ complain (
      image.hash != null && match "sha256-[A-Za-z0-9+/]{43}=" image.hash == null
    ) "images.${name}.hash is \"${toString image.hash}\"; a hash is sha256- and 44 characters, or null";
in
map (sentence: "imagekit.pihole: ${sentence}.") (
  complain (
    !isLabel hostName
  ) "the host name \"${hostName}\" is not made of small letters, digits and hyphens"
  ++ complain (!ipv4.isAddress address) "\"${address}\" is not an IPv4 address"
  ++ complain (!ipv4.isAddress cfg.gateway) "the gateway \"${cfg.gateway}\" is not an IPv4 address"
  ++ complain (
    addresses && !ipv4.areNeighbours cfg.prefixLength address cfg.gateway
  ) "the gateway ${cfg.gateway} is not in the network of ${address}/${toString cfg.prefixLength}"
  ++ complain (
    addresses && address == cfg.gateway
  ) "${address} is the gateway's address as well; the machine needs one of its own"
  ++ complain (
    ipv4.isAddress address && !ipv4.isMachine cfg.prefixLength address
  ) "${address} is the first or the last address of its network, which no machine can have"
  ++ complain (
    cfg.testing.enable && cfg.testing.address == cfg.address
  ) "testing.address is ${cfg.address}, the live machine's; two machines cannot share one"
  ++ complain (
    cfg.bootstrapDns == [ ]
  ) "bootstrapDns is empty; without one the machine cannot fetch Pi-hole"
  ++ concatMap (
    server:
    complain (!ipv4.isAddress server) "the bootstrap resolver \"${server}\" is not an IPv4 address"
    ++ complain (
      isLoopback server || server == address
    ) "the bootstrap resolver ${server} is this machine itself, which has yet to fetch its Pi-hole"
  ) cfg.bootstrapDns
  ++ complain (
    cfg.authorizedKeys == [ ]
  ) "there is no SSH key in authorizedKeys, and no password either: nobody could log in"
  ++ concatMap (
    key:
    complain (
      match ".*PRIVATE KEY.*" key != null
    ) "authorizedKeys has a private key; give the public one, from the file that ends in .pub"
    ++ complain (
      match ".*PRIVATE KEY.*" key == null && !isKey key
    ) "\"${key}\" in authorizedKeys is not a public SSH key, such as \"ssh-ed25519 AAAA… you@laptop\""
  ) cfg.authorizedKeys
  ++ complain (
    match "[a-z_][a-z0-9_-]{0,30}" cfg.adminUser == null
  ) "the user name \"${cfg.adminUser}\" is not made of small letters, digits, _ and -"
  ++ complain (cfg.adminUser == "root") "adminUser is root, who does not log in; name another user"
  ++ complain (
    match "[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*" cfg.timeZone == null
  ) "\"${cfg.timeZone}\" is no time zone, such as \"Europe/Berlin\""
  ++ complain (
    cfg.interface != null && match "[a-zA-Z0-9._-]{1,15}" cfg.interface == null
  ) "\"${toString cfg.interface}\" is no name of a network port, such as \"end0\""
  ++
    complain
      (builtins.elem cfg.upstreamPort [
        22
        53
        80
      ])
      "upstreamPort is ${toString cfg.upstreamPort}, which is SSH's, Pi-hole's or the web page's; Unbound needs another"
  ++ complain (
    match "/.*" cfg.passwordFile == null
  ) "passwordFile is \"${cfg.passwordFile}\"; it must be an absolute path on the machine"
  ++ complain (
    match "/nix/store/.*" cfg.passwordFile != null
    || match "${builtins.storeDir}/.*" cfg.passwordFile != null
  ) "passwordFile is in the Nix store, which everybody can read; keep it elsewhere on the machine"
  ++ complain (
    !all ipv4.isAddressOrNetwork cfg.metrics.allowFrom
  ) "metrics.allowFrom takes IPv4 addresses and networks only, such as \"192.168.0.0/24\""
  ++ judgeImage "pihole"
  ++ judgeImage "unbound"
)
