# The text of site.json as values of imagekit.pihole. Refuses what it does not know: a name that is silently ignored
# would be an address that silently stays the default.
text:
let
  expected = {
    hostName = "string";
    address = "string";
    prefixLength = "int";
    gateway = "string";
    bootstrapDns = "list";
    timeZone = "string";
    authorizedKeys = "list";
    interface = "string";
    adminUser = "string";
  };
  words = {
    string = "a text";
    int = "a whole number";
    list = "a list of texts";
  };
  known = builtins.concatStringsSep ", " (builtins.attrNames expected);
  values = builtins.fromJSON text;

  isRight =
    name: value:
    if expected.${name} == "list" then
      builtins.isList value && builtins.all builtins.isString value
    else
      builtins.typeOf value == expected.${name} || (name == "interface" && value == null);

  check =
    name: value:
    if !expected ? ${name} then
      throw "site.json has \"${name}\", which is no value of a site; there are ${known}"
    else if !isRight name value then
      throw "site.json: ${name} is not ${words.${expected.${name}}}"
    else
      value;
in
if !builtins.isAttrs values then
  throw "site.json is not an object with the values of a site"
else
  builtins.mapAttrs check values
