# A stand-in for the part of nixpkgs' lib that our modules use, so that plain Nix can evaluate them without nixpkgs. It is
# not the module system: it checks no types, knows no option but ours, and merges what two modules say by the simplest
# rule for lists, sets and texts. What it shows is which options our modules set, and to what, for given values.
let
  inherit (builtins)
    attrNames
    concatLists
    concatStringsSep
    elem
    filter
    foldl'
    head
    isAttrs
    isFunction
    isList
    isString
    length
    map
    mapAttrs
    replaceStrings
    ;

  # What lib.mkIf, mkMerge and their like make, until it is merged.
  mark = _mark: values: values // { inherit _mark; };
  hasMark = name: value: isAttrs value && value ? _mark && value._mark == name;

  # The definitions that one value comes to: [ { priority; value; } ].
  spread =
    value:
    if hasMark "if" value then
      if value.condition then spread value.content else [ ]
    else if hasMark "merge" value then
      concatLists (map spread value.contents)
    else if hasMark "override" value then
      map (one: one // { inherit (value) priority; }) (spread value.content)
    else
      [
        {
          priority = 100;
          inherit value;
        }
      ];

  # A package is a value, however many attributes it has.
  isSet = value: isAttrs value && !value ? outPath;

  merge =
    path: values:
    let
      definitions = concatLists (map spread values);
      strongest = foldl' (
        least: one: if one.priority < least then one.priority else least
      ) 10000 definitions;
      found = map (one: one.value) (filter (one: one.priority == strongest) definitions);
      first = head found;
      names = attrNames (foldl' (all: one: all // one) { } found);
    in
    if definitions == [ ] then
      null
    else if isSet first then
      removeNulls (
        listToSet (
          map (name: {
            inherit name;
            value = merge (path ++ [ name ]) (map (one: one.${name}) (filter (one: one ? ${name}) found));
          }) names
        )
      )
    else if isList first then
      concatLists found
    else if length found == 1 || foldl' (same: one: same && one == first) true found then
      first
    else if isString first then
      concatStringsSep "\n" found
    else
      throw "two modules say different things about ${concatStringsSep "." path}";

  listToSet = builtins.listToAttrs;
  removeNulls =
    set:
    listToSet (
      concatLists (
        map (
          name:
          if set.${name} == null then
            [ ]
          else
            [
              {
                inherit name;
                value = set.${name};
              }
            ]
        ) (attrNames set)
      )
    );

  collect =
    arguments: module:
    let
      loaded = if builtins.isPath module || isString module then import module else module;
      body = if isFunction loaded then loaded arguments else loaded;
      explicit = body ? config || body ? options || body ? imports;
    in
    concatLists (map (collect arguments) (body.imports or [ ]))
    ++ [
      {
        options = body.options or { };
        config = if explicit then body.config or { } else body;
      }
    ];

  isOption = value: isAttrs value && value ? _option;

  # Our options with what the modules say, or else their defaults.
  resolve =
    options: config:
    mapAttrs (
      name: option:
      if isOption option then
        config.${name} or option.default or (throw "${name} is not set")
      else
        resolve option (config.${name} or { })
    ) options;

  deepMerge =
    one: other:
    one
    // mapAttrs (
      name: value:
      if one ? ${name} && isAttrs one.${name} && isAttrs value && !isOption value then
        deepMerge one.${name} value
      else
        value
    ) other;

  types = {
    str = "str";
    bool = "bool";
    port = "port";
    int = "int";
    nullOr = inner: "nullOr ${inner}";
    listOf = inner: "listOf ${inner}";
    attrsOf = inner: "attrsOf ${inner}";
    ints.between = low: high: "int between ${toString low} and ${toString high}";
  };

  lib = {
    inherit merge types;
    inherit (builtins)
      concatStringsSep
      getAttr
      removeAttrs
      ;
    mkOption = option: option // { _option = true; };
    mkEnableOption = description: {
      _option = true;
      type = "bool";
      default = false;
      inherit description;
    };
    mkIf = condition: content: mark "if" { inherit condition content; };
    mkMerge = contents: mark "merge" { inherit contents; };
    mkOverride = priority: content: mark "override" { inherit priority content; };
    mkForce = lib.mkOverride 50;
    mkDefault = lib.mkOverride 1000;
    concatMapStrings = write: list: concatStringsSep "" (map write list);
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    optionalAttrs = condition: set: if condition then set else { };
    optionalString = condition: text: if condition then text else "";
    escapeShellArg = text: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
    genAttrs =
      names: value:
      listToSet (
        map (name: {
          inherit name;
          value = value name;
        }) names
      );
    hasSuffix =
      suffix: text:
      builtins.stringLength text >= builtins.stringLength suffix
      &&
        builtins.substring (builtins.stringLength text - builtins.stringLength suffix) (-1) text == suffix;
    getName = package: package.pname or package.name;
    inherit elem;

    # What the modules tell NixOS, when our own options have these values (which no module may set then) and `known` is
    # what other people's modules say.
    evaluate =
      {
        modules,
        values,
        known ? { },
        arguments ? { },
      }:
      let
        parts = concatLists (map (collect (arguments // { inherit lib config options; })) modules);
        options = foldl' deepMerge { } (map (part: part.options) parts);
        config = known // {
          imagekit = resolve options.imagekit values;
        };
      in
      {
        inherit options config;
        told = merge [ ] (map (part: part.config) parts);
      };
  };
in
lib
