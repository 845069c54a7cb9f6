# Arithmetic on IPv4 addresses, with nothing but Nix itself: it is tested without nixpkgs.
let
  # 2^count, which Nix does not have.
  power = count: if count == 0 then 1 else 2 * power (count - 1);

  octet = text: if builtins.match "0|[1-9][0-9]{0,2}" text == null then null else readOctet text;
  readOctet =
    text:
    let
      number = builtins.fromJSON text;
    in
    if number <= 255 then number else null;

  # "192.168.0.53" as a number; null for everything that is not four octets without leading zeros.
  parse =
    text:
    let
      parts = builtins.match "([0-9]+)[.]([0-9]+)[.]([0-9]+)[.]([0-9]+)" text;
      octets = map octet parts;
    in
    if parts == null || builtins.elem null octets then
      null
    else
      builtins.foldl' (sum: number: sum * 256 + number) 0 octets;

  # The number as text.
  show =
    number:
    builtins.concatStringsSep "." (
      map
        (
          shift:
          let
            high = number / power shift;
          in
          toString (high - high / 256 * 256)
        )
        [
          24
          16
          8
          0
        ]
    );

  sizeOf = prefixLength: power (32 - prefixLength);
  networkOf = prefixLength: number: number / sizeOf prefixLength * sizeOf prefixLength;
in
{
  inherit parse show;

  isAddress = text: parse text != null;

  # "192.168.0.0/24" or an address alone, as firewall rules take them.
  isAddressOrNetwork =
    text:
    let
      parts = builtins.match "([0-9.]+)(/([0-9]|[12][0-9]|3[0-2]))?" text;
    in
    parts != null && parse (builtins.head parts) != null;

  # Whether two addresses are in one network of that prefix length.
  areNeighbours =
    prefixLength: one: other:
    networkOf prefixLength (parse one) == networkOf prefixLength (parse other);

  # Whether an address can be a machine's: neither the network's own nor its broadcast address.
  isMachine =
    prefixLength: text:
    let
      number = parse text;
      network = networkOf prefixLength number;
    in
    prefixLength >= 31 || (number != network && number != network + sizeOf prefixLength - 1);

  # The address after this one, as text; the text itself when it is no address.
  next =
    text:
    let
      number = parse text;
    in
    if number == null then text else show (number + 1);
}
